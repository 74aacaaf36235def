"""The statement: from the ledger's events alone, where every wei is and why it went there.

`transfers` says which event moves what, `books` adds it up, `story` keeps what is known of a round, and `teller` puts
each account's lines into sentences.
"""

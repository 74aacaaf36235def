"""Studies: which points of a scenario are played, on which processors, what is kept of them and what it says.

`plan` turns a scenario into a Study, `collect.collect` plays what of it is not finished yet into a folder,
`results` reads that folder, `verdict` says what it means.
"""

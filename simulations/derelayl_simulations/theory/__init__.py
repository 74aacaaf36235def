"""What follows from the rules by algebra, to be drawn beside what was simulated. All of it is ours: derived from the
published rule and from our ledger's, quoted from nowhere.
"""

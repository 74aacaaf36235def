"""The report of a folder of results: every figure that there is data for, and one page with all of them."""

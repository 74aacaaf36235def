"""Pseudoinverse learning: sums, closed-form solutions, random features, and the two-way system made of them."""

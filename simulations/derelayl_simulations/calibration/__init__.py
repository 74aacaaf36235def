"""What real relays say about a world's numbers."""

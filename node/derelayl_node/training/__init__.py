"""The process in which a peer trains, as the node sees it."""

"""What a checkpoint is: manifests and their roots, what was made from what, what a fetch asks for."""

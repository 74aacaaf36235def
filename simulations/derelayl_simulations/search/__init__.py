"""What pays, and what people come to do when they learn it: deviations, best response, replicator."""

"""What concurrency costs: CPU time and own calls of the SDK alone, of one checkout or of two beside each other."""

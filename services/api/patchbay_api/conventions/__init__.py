"""What all operations have in common beside their declaration: exports, selected fields, repeats, limits, origins."""

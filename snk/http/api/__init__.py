"""What services of SNK have in common that answer programs: who may come in, limits, and how they refuse."""

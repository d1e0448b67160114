"""What the new side of a move of jobs is made of: texts of files, from settings alone."""

"""What is on disk: the paths of a result folder, its documents and tables, and their readers."""

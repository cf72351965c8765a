"""What both ends of a federation know: the plans, the messages, the model that all start from."""

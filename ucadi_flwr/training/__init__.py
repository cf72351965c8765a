"""Local training: epochs, schedule, frozen layers, and terms that are added to the loss."""

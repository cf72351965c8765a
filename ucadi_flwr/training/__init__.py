"""Local training: epochs, losses, schedules, penalties."""

"""Tables, figures and the one page that a reader opens."""

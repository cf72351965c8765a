"""Models and integers ⇄ slots: encoding, without any encryption."""

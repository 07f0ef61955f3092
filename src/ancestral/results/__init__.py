"""What workflows return: frozen values of plain numbers and text, with a JSON schema each. No torch."""

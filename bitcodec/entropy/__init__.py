"""Arrays of decisions <-> bytes. What the decisions mean is not known here."""

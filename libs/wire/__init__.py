"""Messages to domain values and back; the archive's codec."""

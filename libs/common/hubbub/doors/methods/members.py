"""What members are to a room."""

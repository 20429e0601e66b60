"""What the gateway keeps: uploaded files, avatars, custom emoji."""

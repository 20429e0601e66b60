"""Apps: programs that automate a chat, each in a process of its own beside Hubbub's services."""

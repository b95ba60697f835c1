"""What replay costs on this machine: speed by stage, memory, start-up, the database."""

"""What a finished model does: its errors by kind of atom and size of the force, and the structures it relaxes."""

"""What only this repository needs: fuzz campaign, mutants, golden recorder, generators of docs pages."""

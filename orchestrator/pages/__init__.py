"""The pages of the documentation that are made from the code, by `make pages`."""

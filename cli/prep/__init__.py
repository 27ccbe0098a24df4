"""`auglift-prep`: one command a dataset."""

"""The paper's figures from a store: the method, one joint's descriptor, poses against truth, sequence length."""

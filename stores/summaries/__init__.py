"""What a store holds, for people: info, card, agreement with ground truth."""

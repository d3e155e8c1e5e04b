"""From a model's next-token scores to text: search over `Seq2Seq.step`, and translation around it."""

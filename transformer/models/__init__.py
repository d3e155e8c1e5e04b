"""Models behind one interface: `interface.Seq2Seq`."""

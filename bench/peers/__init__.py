"""What Ancestral is measured against, each behind the same interface. Of the peers only their public calls are used."""

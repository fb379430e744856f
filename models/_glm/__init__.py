"""What generalised linear models of spike trains share: sessions, rates, fitting."""

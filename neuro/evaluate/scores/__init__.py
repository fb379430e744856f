"""From predictions to figures: metrics, what chance gives, intervals, label curves."""

// Prober

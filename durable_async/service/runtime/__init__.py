"""The service at work: it carries out what the machine decides, and invokes functions at their times."""

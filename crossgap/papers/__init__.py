"""The tables and figures of the papers, made of a project's results: `crossgap table`, `crossgap figure`."""

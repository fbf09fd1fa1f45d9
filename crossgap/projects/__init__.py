"""A project: the folder with params.yaml, dvc.yaml, the stages and data, in which the pipeline runs.

The repository is one. `crossgap init` makes others, for an installed crossgap: `files` says what each starts with,
`building` puts that into the wheel, `pinned` is the code that such a project runs by, and `linked` looks after links.
"""

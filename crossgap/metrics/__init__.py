"""Everything that is measured on arrays: features in, numbers out; no file is read and none written."""

"""The query language: `grammar` reads it, `compile` turns it into SQL, a vocabulary says which fields a list has."""

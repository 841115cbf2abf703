"""The bundled model: drawn data set, training and attribute reader."""

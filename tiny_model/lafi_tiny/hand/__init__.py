"""The hand that draws the data set of the bundled model: children who do things, at 128 px."""

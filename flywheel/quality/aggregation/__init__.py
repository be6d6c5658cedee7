"""Aggregation: several raters' labels of an item to one label with a posterior.

In: ratings, with the answers of some items known. Out: a posterior for each item, by the method that predicts known items best.
"""

from flywheel.quality.aggregation.choose import Aggregation, aggregate
from flywheel.quality.aggregation.dawid_skene import dawid_skene_posterior
from flywheel.quality.aggregation.majority import majority_posterior
from flywheel.quality.aggregation.ratings import Ratings, make_ratings

__all__ = ["Aggregation", "Ratings", "aggregate", "dawid_skene_posterior", "majority_posterior", "make_ratings"]

"""What to use instead of a step that cannot be converted, or not exactly; a row for each that is known. Pure."""

from typing import Any

_DERIVE = "compute it as a derivation of the Join, so that training and serving share it"
_CATBOOST = "CatBoost's ONNX form adds up in float32 (amounts differ by 6e-5), and it brings 360 MB (docs/matrix.md)"

CONVERSION: dict[str, str] = {
    "FunctionTransformer": f"{_DERIVE}; of Python code ONNX can say nothing",
    "TargetEncoder": "OrdinalEncoder or OneHotEncoder, or the category's mean as a feature of a GroupBy",
    "KBinsDiscretizer": "KBinsDiscretizer(encode='onehot-dense') or 'ordinal', or trees, which bin by themselves",
    "SplineTransformer": f"PolynomialFeatures, or {_DERIVE}",
    "HashingVectorizer": "TfidfVectorizer or CountVectorizer, which keep their vocabulary",
    "FeatureHasher": "OneHotEncoder(handle_unknown='ignore', min_frequency=..)",
    "DictVectorizer": "a ColumnTransformer over named columns",
    "IterativeImputer": "SimpleImputer, or HistGradientBoosting, which takes missing values as they are",
    "KNNImputer": "SimpleImputer, or HistGradientBoosting, which takes missing values as they are",
    "MissingIndicator": "SimpleImputer, or HistGradientBoosting, which takes missing values as they are",
    "CatBoostClassifier": f"HistGradientBoostingClassifier, XGBoost or LightGBM: {_CATBOOST}",
    "CatBoostRegressor": f"HistGradientBoostingRegressor, XGBoost or LightGBM: {_CATBOOST}",
    "NeuralNet": "MLPClassifier or MLPRegressor: PyTorch is not part of this library",
    "Module": "MLPClassifier or MLPRegressor: PyTorch is not part of this library",
    "FixedThresholdClassifier": "the classifier alone, with the threshold in the record (decision_threshold)",
    "TunedThresholdClassifierCV": "the classifier alone, with the threshold in the record (decision_threshold)",
    "VotingClassifier": "VotingClassifier(voting='soft', flatten_transform=False)",
    "KNeighborsClassifier": "dense rows (sparse_threshold=0 in the ColumnTransformer), or trees",
    "KNeighborsRegressor": "dense rows (sparse_threshold=0 in the ColumnTransformer), or trees",
    "OneHotEncoder": "OneHotEncoder(handle_unknown='ignore') without min_frequency and max_categories",
    "PolynomialFeatures": f"trees, or {_DERIVE}",
    "PowerTransformer": "QuantileTransformer, or trees, which need no scaling",
    "AdaBoostClassifier": "GradientBoostingClassifier",
    "OneClassSVM": "IsolationForest, or LocalOutlierFactor(novelty=True)",
    "GaussianMixture": "KMeans",
    "Birch": "KMeans or MiniBatchKMeans",
    "DBSCAN": "KMeans or MiniBatchKMeans, which answer for rows that they have not seen",
    "LGBMRanker": "LGBMRegressor on the relevance",
}
"""By the class of the step, where there is no conversion."""

DIFFERENCE: dict[str, str] = {
    "CalibratedClassifierCV": "method='sigmoid': isotonic steps are rounded to float32",
    "KBinsDiscretizer": "encode='onehot-dense' or encode='ordinal', or trees, which bin by themselves",
    "TfidfVectorizer": "TfidfVectorizer(token_pattern='[a-zA-Z0-9_]+'): it reads letters beyond ASCII otherwise",
    "CountVectorizer": "CountVectorizer(token_pattern='[a-zA-Z0-9_]+'): it reads letters beyond ASCII otherwise",
    "KNeighborsClassifier": "trees: which of two neighbours that are as far away counts is left to chance",
    "KNeighborsRegressor": "trees: which of two neighbours that are as far away counts is left to chance",
}
"""By the class of the step, where the conversion is known to answer otherwise."""

_FAILURES = (
    ("contains NaN", "put SimpleImputer before it, or use HistGradientBoosting, which takes missing values"),
    ("unknown categor", "handle_unknown='ignore' (OneHotEncoder) or 'use_encoded_value' (OrdinalEncoder)"),
    ("infinity", "leave out or clip the infinite values of these rows before training"),
)


def instead_of(step: Any) -> str:
    """What to use where this step has no conversion."""
    name = _known(step, CONVERSION)
    return CONVERSION.get(name, "another step of scikit-learn that skl2onnx converts, or a derivation of the Join")


def mending(step: Any) -> str:
    """What to do where this step's conversion answers otherwise."""
    name = _known(step, DIFFERENCE)
    return DIFFERENCE.get(name, "declare the columns FP64, or replace the step, or raise the tolerance with a reason")


def after(failure: str) -> str:
    """What to do where the pipeline itself fails on a row."""
    return next((told for part, told in _FAILURES if part in failure), "impute, or encode unseen categories too")


def _known(step: Any, table: dict[str, str]) -> str:
    return next((kind.__name__ for kind in type(step).__mro__ if kind.__name__ in table), "")

"""Works of statistics that methods cite, with their BibTeX entries; keys never change."""

from __future__ import annotations

from mlproject.report.methods.bibtex import article, arxiv, book

STATISTICS = {
    "bates1988": book(
        "Bates and Watts 1988", "Bates, Douglas M. and Watts, Donald G.",
        "Nonlinear Regression Analysis and Its Applications", "Wiley",
    ),
    "benjamini1995": article(
        "Benjamini and Hochberg 1995", "Benjamini, Yoav and Hochberg, Yosef",
        "Controlling the False Discovery Rate: A Practical and Powerful Approach to Multiple Testing",
        "Journal of the Royal Statistical Society: Series B", volume="57", number="1", pages="289--300",
    ),
    "cook1982": book(
        "Cook and Weisberg 1982", "Cook, R. Dennis and Weisberg, Sanford",
        "Residuals and Influence in Regression", "Chapman and Hall",
    ),
    "delong1988": article(
        "DeLong et al. 1988", "DeLong, Elizabeth R. and DeLong, David M. and Clarke-Pearson, Daniel L.",
        "Comparing the Areas under Two or More Correlated Receiver Operating Characteristic Curves: "
        "A Nonparametric Approach", "Biometrics", volume="44", number="3", pages="837--845",
    ),
    "efron1987": article(
        "Efron 1987", "Efron, Bradley", "Better Bootstrap Confidence Intervals",
        "Journal of the American Statistical Association", volume="82", number="397", pages="171--185",
        doi="10.1080/01621459.1987.10478410",
    ),
    "geirhos2020": arxiv(
        "Geirhos et al. 2020", "Geirhos, Robert and Meding, Kristof and Wichmann, Felix A.",
        "Beyond Accuracy: Quantifying Trial-by-Trial Behaviour of {CNNs} and Humans by Measuring Error "
        "Consistency", "2006.16736",
    ),
    "gelman2006": article(
        "Gelman 2006", "Gelman, Andrew", "Prior Distributions for Variance Parameters in Hierarchical Models",
        "Bayesian Analysis", volume="1", number="3", pages="515--534",
    ),
    "gneiting2007": article(
        "Gneiting and Raftery 2007", "Gneiting, Tilmann and Raftery, Adrian E.",
        "Strictly Proper Scoring Rules, Prediction, and Estimation",
        "Journal of the American Statistical Association", volume="102", number="477", pages="359--378",
        doi="10.1198/016214506000001437",
    ),
    "golub2003": article(
        "Golub and Pereyra 2003", "Golub, Gene and Pereyra, Victor",
        "Separable Nonlinear Least Squares: The Variable Projection Method and Its Applications",
        "Inverse Problems", volume="19", number="2", pages="R1--R26", doi="10.1088/0266-5611/19/2/201",
    ),
    "guo2017": arxiv(
        "Guo et al. 2017", "Guo, Chuan and Pleiss, Geoff and Sun, Yu and Weinberger, Kilian Q.",
        "On Calibration of Modern Neural Networks", "1706.04599",
    ),
    "holm1979": article(
        "Holm 1979", "Holm, Sture", "A Simple Sequentially Rejective Multiple Test Procedure",
        "Scandinavian Journal of Statistics", volume="6", number="2", pages="65--70",
    ),
    "kennedy2001": article(
        "Kennedy and O'Hagan 2001", "Kennedy, Marc C. and O'Hagan, Anthony",
        "Bayesian Calibration of Computer Models", "Journal of the Royal Statistical Society: Series B",
        volume="63", number="3", pages="425--464", doi="10.1111/1467-9868.00294",
    ),
    "kumar2019": arxiv(
        "Kumar et al. 2019", "Kumar, Ananya and Liang, Percy and Ma, Tengyu",
        "Verified Uncertainty Calibration", "1909.10155",
    ),
    "mcnemar1947": article(
        "McNemar 1947", "McNemar, Quinn",
        "Note on the Sampling Error of the Difference Between Correlated Proportions or Percentages",
        "Psychometrika", volume="12", number="2", pages="153--157", doi="10.1007/BF02295996",
    ),
    "neuenschwander2010": article(
        "Neuenschwander et al. 2010",
        "Neuenschwander, Beat and Capkun-Niggli, Gorana and Branson, Michael and Spiegelhalter, David J.",
        "Summarizing Historical Information on Controls in Clinical Trials", "Clinical Trials",
        volume="7", number="1", pages="5--18",
    ),
    "rao1988": article(
        "Rao and Wu 1988", "Rao, J. N. K. and Wu, C. F. J.",
        "Resampling Inference with Complex Survey Data", "Journal of the American Statistical Association",
        volume="83", number="401", pages="231--241", doi="10.1080/01621459.1988.10478591",
    ),
    "rubin1981": article(
        "Rubin 1981", "Rubin, Donald B.", "The {Bayesian} Bootstrap", "The Annals of Statistics",
        volume="9", number="1", pages="130--134", doi="10.1214/aos/1176345338",
    ),
    "schmidli2014": article(
        "Schmidli et al. 2014",
        "Schmidli, Heinz and Gsteiger, Sandro and Roychoudhury, Satrajit and O'Hagan, Anthony and "
        "Spiegelhalter, David and Neuenschwander, Beat",
        "Robust Meta-Analytic-Predictive Priors in Clinical Trials with Historical Control Information",
        "Biometrics", volume="70", number="4", pages="1023--1032",
    ),
    "smyth2004": article(
        "Smyth 2004", "Smyth, Gordon K.",
        "Linear Models and Empirical {Bayes} Methods for Assessing Differential Expression in Microarray "
        "Experiments", "Statistical Applications in Genetics and Molecular Biology", volume="3", number="1",
        doi="10.2202/1544-6115.1027",
    ),
    "yao2018": article(
        "Yao et al. 2018", "Yao, Yuling and Vehtari, Aki and Simpson, Daniel and Gelman, Andrew",
        "Using Stacking to Average {Bayesian} Predictive Distributions", "Bayesian Analysis",
        volume="13", number="3", pages="917--1007", doi="10.1214/17-BA1091",
    ),
}  # fmt: skip

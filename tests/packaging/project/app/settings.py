"""A module of the project whose name the gateway has too."""

NAME = "project"

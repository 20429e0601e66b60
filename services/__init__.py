"""Hubbub's services, one package each. They share only `hubbub`, never each other."""

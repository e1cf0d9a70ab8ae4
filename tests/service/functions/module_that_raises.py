print("importing")
raise ValueError("wrong configuration")

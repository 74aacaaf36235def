"""Answer an SMT-LIB file for halmos with cvc5, which takes the bit vectors for integers: python tools/prove.py FILE.

Runs in the environment of requirements.txt.
"""

import sys

import cvc5


def main(path: str) -> None:
    """Say `sat` and a model, `unsat` or `unknown`."""
    solver = cvc5.Solver(cvc5.TermManager())
    solver.setOption("solve-bv-as-int", "sum")
    solver.setOption("produce-models", "true")
    parser = cvc5.InputParser(solver)
    parser.setFileInput(cvc5.InputLanguage.SMT_LIB_2_6, path)
    symbols = parser.getSymbolManager()
    answer = ""
    while not (command := parser.nextCommand()).isNull():
        if command.getCommandName() == "get-model" and answer != "sat":
            continue
        said = command.invoke(solver, symbols).strip()
        if said:
            answer = said
            sys.stdout.write(f"{said}\n")


if __name__ == "__main__":
    main(sys.argv[1])

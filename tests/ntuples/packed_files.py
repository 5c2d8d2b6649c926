"""Write trees with ROOT's packed numbers and leaf lists, and what ROOT reads of them. Run as a script."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np

CODE = r"""
#include "TClonesArray.h"
#include "TRef.h"

class Hit : public TObject {
public:
  float x = 0; int n = 0;
  Double32_t d = 0;
  Double32_t range = 0;     //[0,10,12] in GeV
  Double32_t bits = 0;      //[0,0,10]
  Double32_t many_bits = 0; //[0,0,20]
  Double32_t full = 0;      //[0,10,32]
  Double32_t no_bits = 0;   //[0,10]
  Double32_t pi = 0;        //[-pi,pi]
  Double32_t two_pi = 0;    //[0,2*pi,12]
  Double32_t half_pi = 0;   //[-pi/2,twopi,12]
  Float16_t f = 0;
  Float16_t f_range = 0;    //[0,10,12]
  Float16_t f_bits = 0;     //[0,0,8]
  Double32_t fixed[3];      //[0,10,12]
  Float16_t f_fixed[2];
  Double32_t *list = nullptr;   //[n][0,10,12]
  Double32_t *plain_list = nullptr; //[n]
  Float16_t *f_list = nullptr;  //[n]
  std::vector<Double32_t> vector;    //[0,10,12]
  std::vector<Float16_t> f_vector;
  TRef reference;
  ~Hit() { delete[] list; delete[] plain_list; delete[] f_list; }
  void set(int k, int j) {
    double q = std::fmod(0.37 * k + 0.11 * j, 9.);
    x = q; d = range = bits = many_bits = full = no_bits = q; f = f_range = f_bits = q; n = k % 4;
    pi = q / 3 - 1.5; two_pi = q / 2; half_pi = q / 6 - 0.7;
    for (int i = 0; i < 3; i++) fixed[i] = q / (i + 1);
    f_fixed[0] = q; f_fixed[1] = -q;
    delete[] list; delete[] plain_list; delete[] f_list;
    list = new Double32_t[4]; plain_list = new Double32_t[4]; f_list = new Float16_t[4];
    for (int i = 0; i < 4; i++) list[i] = plain_list[i] = f_list[i] = q / (i + 1);
    vector.assign(n, q); f_vector.assign(n, -q);
  }
  ClassDef(Hit, 3);
};

void write_packed(const char *path) {
  TFile file(path, "RECREATE");
  Hit *hit = new Hit; TClonesArray *hits = new TClonesArray("Hit");
  TTree object("object", ""); object.SetAutoFlush(40); object.Branch("hit.", &hit, 32000, 99);
  TTree clones("clones", ""); clones.SetAutoFlush(40); clones.Branch("hits", &hits, 32000, 99);
  TTree whole("whole", ""); whole.Branch("hit", &hit, 32000, 0); whole.Branch("hits", &hits, 32000, 0);
  for (int k = 0; k < 100; k++) {
    hit->set(k, 0);
    hits->Clear("C");
    for (int j = 0; j < k % 3; j++) static_cast<Hit *>(hits->ConstructedAt(j))->set(k, j);
    object.Fill(); clones.Fill(); whole.Fill();
  }
  object.Write(); clones.Write(); whole.Write();

  TTree leaves("leaves", ""); leaves.SetAutoFlush(40);
  float x; int n; double d[4]; float f[4]; char text[20]; float matrix[60];
  struct { double pt[6]; double res[6]; } part;
  struct { float a[3]; int b; bool c; } mixed;
  struct { float a; int b; double c; } packed;
  struct { int n; float v[5]; } lists;
  leaves.Branch("x", &x, "x/F"); leaves.Branch("n", &n, "n/I");
  leaves.Branch("part", &part, "pt[6]/D:res[6]/D"); leaves.Branch("mixed", &mixed, "a[3]/F:b/I:c/O");
  leaves.Branch("packed", &packed, "a/F:b/I:c/d[0,200,20]"); leaves.Branch("point.", &packed, "a/F:b/I");
  leaves.Branch("lists", &lists, "m/I:v[m]/F"); leaves.Branch("matrices", matrix, "a[15][2]/F:b[15][2]/F");
  for (const char *length : {"", "[3]", "[n]", "[1]"})
    for (const char *packing : {"", "[0,100,12]", "[0,100]", "[0,100,32]", "[0,0,10]", "[0,0,14]", "[0,0,20]",
                                "[-50*pi,50*pi,16]", "[0,100,40]", "[5,1,20]"}) {
      TString name = TString::Format("_%s%s", length, packing);
      name.ReplaceAll("[", ""); name.ReplaceAll("]", "_"); name.ReplaceAll(",", "_"); name.ReplaceAll("*", "x");
      name.ReplaceAll("-", "m");
      leaves.Branch("d" + name, d, "d" + name + length + "/d" + packing);
      leaves.Branch("f" + name, f, "f" + name + length + "/f" + packing);
    }
  for (int k = 0; k < 100; k++) {
    x = k; n = k % 4;
    for (int j = 0; j < 4; j++) d[j] = f[j] = (j % 2 ? -1 : 1) * (k * 0.3 + j);
    for (int j = 0; j < 6; j++) { part.pt[j] = k + j; part.res[j] = -j; }
    for (int j = 0; j < 3; j++) mixed.a[j] = k + j;
    mixed.b = -k; mixed.c = k % 2; packed = {k * 1.f, k, k * 1.7}; lists.n = k % 5;
    for (int j = 0; j < 5; j++) lists.v[j] = j;
    for (int j = 0; j < 60; j++) matrix[j] = k + j;
    leaves.Fill();
  }
  leaves.Write();
  file.Close();
}
"""

if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # ROOT's wheel says that it is an alpha release
        import ROOT
    folder = Path(sys.argv[1])
    ROOT.gErrorIgnoreLevel = ROOT.kFatal  # 40 bits are an error, which is tried on purpose
    ROOT.gInterpreter.Declare(CODE)
    ROOT.write_packed(str(folder / "packed.root"))
    file = ROOT.TFile(str(folder / "packed.root"))
    values = {}
    for tree_name in ("object", "clones", "leaves"):
        tree = file.Get(tree_name)
        for leaf in tree.GetListOfLeaves():
            branch = leaf.GetBranch()
            several = branch.GetNleaves() > 1
            name = f"{branch.GetName().removesuffix('.')}.{leaf.GetName()}" if several else branch.GetName()
            name = name.partition("[")[0]
            number = tree.Draw(name, "", "goff")
            if number >= 0:
                values[f"{tree_name}/{name}"] = np.frombuffer(tree.GetV1(), dtype="f8", count=number).copy()
    np.savez(folder / "packed.npz", **values)

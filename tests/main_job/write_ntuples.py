"""Write a small made-up analysis with ROOT itself: `write_ntuples.py FOLDER`.

Processes of two eras, each a file `{process}_{era}/{process}_{era}.root` with a tree for the nominal selection and one
for a systematic variation, a histogram, and branches of many types; `ztt_b` is an RNTuple. Run as a script: importing
ROOT takes a second.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

CODE = r"""
#include <ROOT/RNTupleModel.hxx>
#include <ROOT/RNTupleWriter.hxx>

struct Event {
  Long64_t event; UInt_t run; Int_t njets, q_1; Bool_t os;
  Float_t pt_1, eta_1, mjj, met, lumi_weight; Double_t m_vis, gen_weight;
  std::vector<float> jet_pt, jet_eta; std::string decay;
};

// `place` shifts the distributions from process to process.
void draw(Event& e, TRandom3& random, int entry, double place) {
  // Half of the event numbers are so large that a double cannot tell neighbours apart.
  e.event = (entry % 2 ? 9007199254740993LL : 1LL) + 3LL * entry + (Long64_t)random.Integer(3);
  e.run = 315000 + entry / 100;
  e.q_1 = random.Rndm() < 0.5 ? 1 : -1;
  e.os = random.Rndm() < 0.8;
  e.pt_1 = 20 + random.Exp(15 + 5 * place);
  e.eta_1 = random.Uniform(-2.4, 2.4);
  e.m_vis = random.Gaus(60 + 15 * place, 15);
  e.met = random.Rndm() < 0.03 ? (entry % 3 ? NAN : INFINITY) : random.Exp(30);
  e.gen_weight = random.Rndm() < 0.1 ? -1.0 : 1.0;
  e.lumi_weight = random.Uniform(0.5, 1.5);
  e.njets = random.Poisson(1.2 + 0.4 * place);
  e.jet_pt.clear(); e.jet_eta.clear();
  for (int j = 0; j < e.njets; j++) { e.jet_pt.push_back(20 + random.Exp(30)); e.jet_eta.push_back(random.Gaus(0, 2)); }
  std::sort(e.jet_pt.rbegin(), e.jet_pt.rend());
  e.mjj = e.njets > 1 ? random.Exp(150 + 50 * place) : -10;
  e.decay = e.q_1 > 0 ? "mu+" : "mu-";
}

void write_tree(TFile& file, const char* folder, int entries, double place, int seed) {
  file.mkdir(folder)->cd();
  TTree tree("ntuple", "made-up events");
  Event e; TRandom3 random(seed); TLorentzVector p4;
  tree.Branch("event", &e.event); tree.Branch("run", &e.run); tree.Branch("njets", &e.njets);
  tree.Branch("q_1", &e.q_1); tree.Branch("os", &e.os); tree.Branch("pt_1", &e.pt_1); tree.Branch("eta_1", &e.eta_1);
  tree.Branch("mjj", &e.mjj); tree.Branch("met", &e.met); tree.Branch("lumi_weight", &e.lumi_weight);
  tree.Branch("m_vis", &e.m_vis); tree.Branch("gen_weight", &e.gen_weight); tree.Branch("jet_pt", &e.jet_pt);
  tree.Branch("jet_eta", &e.jet_eta); tree.Branch("decay", &e.decay); tree.Branch("p4", &p4);
  for (int entry = 0; entry < entries; entry++) {
    draw(e, random, entry, place);
    p4.SetPtEtaPhiM(e.pt_1, e.eta_1, 0, 0.1);
    tree.Fill();
    if (entry == entries / 3) tree.FlushBaskets();
  }
  tree.Write();
}

void write_trees(const char* path, int entries, double place, int seed) {
  TFile file(path, "RECREATE");
  TH1D cutflow("cutflow", "events before cuts", 3, 0, 3);
  cutflow.SetBinContent(1, 1000 + seed);
  cutflow.Write();
  write_tree(file, "mt_nominal", entries, place, seed);
  write_tree(file, "mt_tauEsUp", entries - 50, place + 0.2, seed + 1000);
  file.cd();
  TNamed("era", "made up").Write();
}

void write_rntuple(const char* path, int entries, double place, int seed) {
  TFile file(path, "RECREATE");
  auto folder = file.mkdir("mt_nominal");
  auto model = ROOT::RNTupleModel::Create();
  auto event = model->MakeField<Long64_t>("event"); auto run = model->MakeField<UInt_t>("run");
  auto njets = model->MakeField<Int_t>("njets"); auto q_1 = model->MakeField<Int_t>("q_1");
  auto os = model->MakeField<bool>("os"); auto pt_1 = model->MakeField<float>("pt_1");
  auto eta_1 = model->MakeField<float>("eta_1"); auto mjj = model->MakeField<float>("mjj");
  auto met = model->MakeField<float>("met"); auto lumi_weight = model->MakeField<float>("lumi_weight");
  auto m_vis = model->MakeField<double>("m_vis"); auto gen_weight = model->MakeField<double>("gen_weight");
  auto jet_pt = model->MakeField<std::vector<float>>("jet_pt");
  auto jet_eta = model->MakeField<std::vector<float>>("jet_eta"); auto decay = model->MakeField<std::string>("decay");
  auto writer = ROOT::RNTupleWriter::Append(std::move(model), "ntuple", *folder);
  Event e; TRandom3 random(seed);
  for (int entry = 0; entry < entries; entry++) {
    draw(e, random, entry, place);
    *event = e.event; *run = e.run; *njets = e.njets; *q_1 = e.q_1; *os = e.os; *pt_1 = e.pt_1; *eta_1 = e.eta_1;
    *mjj = e.mjj; *met = e.met; *lumi_weight = e.lumi_weight; *m_vis = e.m_vis; *gen_weight = e.gen_weight;
    *jet_pt = e.jet_pt; *jet_eta = e.jet_eta; *decay = e.decay;
    writer->Fill();
    if (entry == entries / 2) writer->CommitCluster();
  }
}
"""

#: Number of entries and place of the distributions of each process.
PROCESSES = {"ggh": (600, 0.0), "qqh": (700, 1.0), "ztt_a": (500, 2.0), "ztt_b": (400, 2.1), "data": (300, 1.5)}

if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # ROOT's wheel says that it is an alpha release
        import ROOT
    ROOT.gInterpreter.Declare(CODE)
    for era in ("2017", "2018"):
        for number, (process, (entries, place)) in enumerate(PROCESSES.items()):
            name = f"{process}_{era}"
            path = Path(sys.argv[1]) / name / f"{name}.root"
            path.parent.mkdir(parents=True)
            write = ROOT.write_rntuple if process == "ztt_b" else ROOT.write_trees
            write(str(path), entries, place, 10 * int(era) + number)
